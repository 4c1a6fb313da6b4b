"""The data card of a task: what its rows are, where they came from, what became of them, on one page.

`config` holds what a user may say about the data, `facts` puts together what the stages have recorded, `page` shows it.
Not here: the asset (`ft_assets.components.data_card`), the comparison with the last version (`ft_assets.data.drift`).
"""
