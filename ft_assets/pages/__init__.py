"""What all pages and pictures share: their look, small charts, figures, safety against hostile text. Standard library
only, until a page is made. Not here: what a page says (`evaluation`, `lineage`, `data.card`)."""
