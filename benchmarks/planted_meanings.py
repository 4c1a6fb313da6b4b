"""Sentences of product reviews, made up for the measurements: each said again in other words, and turned round.

What was turned round keeps most of its words and means another thing: it is no duplicate, and the hardest text to tell
from one.
"""

__all__ = ["MEANINGS"]

MEANINGS = (
    (
        "The battery lasts two full days, even if I watch videos.",
        "Even with a lot of video the battery holds for two whole days.",
        "The battery hardly lasts two hours, even if I watch no videos.",
    ),
    (
        "It broke after three weeks and nobody answered my mails.",
        "Three weeks later it was broken, and my mails got no reply.",
        "It still works after three years, and all my mails were answered.",
    ),
    (
        "The pictures are sharp and the colours look natural.",
        "Photos come out crisp, with colours like in real life.",
        "The pictures are blurred and the colours look wrong.",
    ),
    (
        "Setting it up took five minutes, all you do is plug it in.",
        "You just connect it, and within five minutes it is ready for use.",
        "Setting it up took all day, plugging it in is not enough.",
    ),
    (
        "I would not buy this phone again.",
        "Next time I would choose a different phone than this one.",
        "I would buy this phone again at once.",
    ),
    (
        "The sound is thin and there is no bass at all.",
        "Audio lacks body, and low notes are missing completely.",
        "The sound is rich and there is plenty of bass.",
    ),
    (
        "Shipping was fast, it arrived one day early.",
        "It came a day before it was due, so delivery was quick.",
        "Shipping was slow, it arrived one week late.",
    ),
    (
        "The manual is useless, half of it is not translated.",
        "Half of the instructions were left in a foreign language, so they are of no help.",
        "The manual is helpful, all of it is well translated.",
    ),
    (
        "For the price it is the best camera that you can get.",
        "No other camera gives you as much for this money.",
        "For the price it is the worst camera that you can get.",
    ),
    (
        "The screen scratches as soon as you look at it.",
        "It takes almost nothing to get scratches on the display.",
        "The screen does not scratch, whatever you do with it.",
    ),
    (
        "My daughter uses the player every day and loves it.",
        "The player is loved by my girl, who takes it out daily.",
        "My daughter does not use the player and hates it.",
    ),
    (
        "The router loses its connection every few hours.",
        "Several times a day the network drops with this router.",
        "The router has not lost its connection in months.",
    ),
    (
        "The buttons are too small for my fingers.",
        "With my hands I can hardly press such tiny keys.",
        "The buttons are large enough for my fingers.",
    ),
    (
        "It is light enough to carry in a shirt pocket.",
        "You can put it into the pocket of your shirt, it weighs so little.",
        "It is too heavy to carry in a shirt pocket.",
    ),
    (
        "The software crashes whenever I copy music to it.",
        "Each time songs are transferred the program dies.",
        "The software never crashes when I copy music to it.",
    ),
    (
        "The case feels cheap and the hinge is loose.",
        "Its housing seems to be of poor quality, with a wobbly hinge.",
        "The case feels solid and the hinge is tight.",
    ),
    (
        "It needs a special cable that is not in the box.",
        "You have to buy an extra cable, since none is included.",
        "It comes with the special cable in the box.",
    ),
    (
        "After the update it became slower.",
        "It has lost speed since the new version was installed.",
        "After the update it became faster.",
    ),
    (
        "The zoom is excellent for animals far away.",
        "Distant wildlife can be photographed very well with this lens.",
        "The zoom is not good enough for animals far away.",
    ),
    (
        "Support replaced the unit within a week, no questions asked.",
        "Without any fuss customer service sent me a new one in seven days.",
        "Support did not replace the unit and asked many questions.",
    ),
    (
        "It gets so hot that you cannot hold it.",
        "You burn your hand on it, that is how warm it becomes.",
        "It stays so cool that you can hold it.",
    ),
    (
        "The menu is easy to understand for older people.",
        "Senior citizens will have no trouble with the menus.",
        "The menu is hard to understand for older people.",
    ),
    (
        "Reading in bright sun is impossible.",
        "In daylight you cannot make out anything on the display.",
        "Reading in bright sun is no problem.",
    ),
    (
        "It does what it says and nothing more.",
        "It keeps its promises, but do not expect anything beyond that.",
        "It does not do what it says.",
    ),
    (
        "I returned it the next day.",
        "One day later I sent it back to the shop.",
        "I kept it and did not return it.",
    ),
    (
        "The headphones fall out of my ears when I run.",
        "While jogging these earbuds will not stay in place.",
        "The headphones stay in my ears when I run.",
    ),
    (
        "The stroller folds with one hand.",
        "You need a single hand to collapse this buggy.",
        "The stroller does not fold with one hand.",
    ),
    (
        "The printer jams on every second page.",
        "Paper gets stuck in it every other sheet.",
        "The printer has not jammed on a single page.",
    ),
    (
        "The fan is so quiet that I forget that it is on.",
        "You do not notice it running, the fan makes hardly any noise.",
        "The fan is so loud that I cannot forget that it is on.",
    ),
    (
        "It smelled of plastic for weeks.",
        "A chemical odour stayed with it for a long time.",
        "It did not smell of plastic at all.",
    ),
    (
        "The remote works only if you stand right before the set.",
        "Unless you are directly in front of the television the remote does nothing.",
        "The remote works from anywhere in the room.",
    ),
    (
        "Two of the four wheels were missing from the parcel.",
        "Only half of its wheels had been put into the package.",
        "All of the four wheels were in the parcel.",
    ),
    (
        "I have had mine for years without a single problem.",
        "Mine has run for a long time, and nothing ever went wrong.",
        "I have had mine for days with nothing but problems.",
    ),
    (
        "The strap is too short for an adult.",
        "Grown-ups will find that the band does not reach around.",
        "The strap is long enough for an adult.",
    ),
    (
        "It charges in less than an hour.",
        "Within sixty minutes the battery is full again.",
        "It takes more than a day to charge.",
    ),
    (
        "The picture flickers when the room is dark.",
        "In low light the image on the screen is unsteady.",
        "The picture does not flicker when the room is dark.",
    ),
    (
        "It is made of metal, so it will survive a fall.",
        "Dropping it does no harm, thanks to its steel body.",
        "It is made of plastic, so it will not survive a fall.",
    ),
    (
        "Do not believe the good reviews.",
        "You should not trust those who praise it here.",
        "You may believe the good reviews.",
    ),
    (
        "The lid does not close tightly, so soup leaks into the bag.",
        "Because the cover is not sealed well, my bag was full of soup.",
        "The lid closes tightly, so no soup leaks into the bag.",
    ),
    (
        "The knife was sharp when it came and still is.",
        "It cuts as well as on the first day.",
        "The knife was blunt when it came and still is.",
    ),
)  # fmt: skip
"""(sentence, the same in other words, turned round)."""
