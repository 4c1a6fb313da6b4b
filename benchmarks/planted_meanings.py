"""Sentences of product reviews, made up for the measurements: each said again in two ways, and turned round.

What was turned round keeps most of its words and means another thing: it is no duplicate, and the hardest text to tell
from one.
"""

from typing import NamedTuple

__all__ = ["MEANINGS", "Meaning"]


class Meaning(NamedTuple):
    """One thing to say.

    Attributes:
        text: A sentence.
        reworded: With most of its words, in another order or with some of them replaced.
        retold: In other words.
        turned: The opposite, with most of its words.
    """

    text: str
    reworded: str
    retold: str
    turned: str


MEANINGS = (
    Meaning(
        "The battery lasts two full days, even if I watch videos.",
        "The battery lasts for two whole days, even when I watch videos.",
        "Even with a lot of video the battery holds for two whole days.",
        "The battery hardly lasts two hours, even if I watch no videos.",
    ),
    Meaning(
        "It broke after three weeks and nobody answered my mails.",
        "After three weeks it broke, and nobody answered my e-mails.",
        "Three weeks later it was broken, and my mails got no reply.",
        "It still works after three years, and all my mails were answered.",
    ),
    Meaning(
        "The pictures are sharp and the colours look natural.",
        "The photos are sharp, and the colours look natural.",
        "Photos come out crisp, with colours like in real life.",
        "The pictures are blurred and the colours look wrong.",
    ),
    Meaning(
        "Setting it up took five minutes, all you do is plug it in.",
        "It took five minutes to set up, all you have to do is plug it in.",
        "You just connect it, and within five minutes it is ready for use.",
        "Setting it up took all day, plugging it in is not enough.",
    ),
    Meaning(
        "I would not buy this phone again.",
        "I would never buy this phone again.",
        "Next time I would choose a different phone than this one.",
        "I would buy this phone again at once.",
    ),
    Meaning(
        "The sound is thin and there is no bass at all.",
        "The sound is thin, with no bass at all.",
        "Audio lacks body, and low notes are missing completely.",
        "The sound is rich and there is plenty of bass.",
    ),
    Meaning(
        "Shipping was fast, it arrived one day early.",
        "The shipping was quick, it came one day early.",
        "It came a day before it was due, so delivery was quick.",
        "Shipping was slow, it arrived one week late.",
    ),
    Meaning(
        "The manual is useless, half of it is not translated.",
        "The manual is of no use, half of it has not been translated.",
        "Half of the instructions were left in a foreign language, so they are of no help.",
        "The manual is helpful, all of it is well translated.",
    ),
    Meaning(
        "For the price it is the best camera that you can get.",
        "It is the best camera you can buy for the price.",
        "No other camera gives you as much for this money.",
        "For the price it is the worst camera that you can get.",
    ),
    Meaning(
        "The screen scratches as soon as you look at it.",
        "The display gets scratched as soon as you look at it.",
        "It takes almost nothing to get scratches on the display.",
        "The screen does not scratch, whatever you do with it.",
    ),
    Meaning(
        "My daughter uses the player every day and loves it.",
        "My daughter loves the player and uses it every day.",
        "The player is loved by my girl, who takes it out daily.",
        "My daughter does not use the player and hates it.",
    ),
    Meaning(
        "The router loses its connection every few hours.",
        "Every few hours the router loses its connection.",
        "Several times a day the network drops with this router.",
        "The router has not lost its connection in months.",
    ),
    Meaning(
        "The buttons are too small for my fingers.",
        "The keys are too small for my fingers.",
        "With my hands I can hardly press such tiny keys.",
        "The buttons are large enough for my fingers.",
    ),
    Meaning(
        "It is light enough to carry in a shirt pocket.",
        "It is so light that you can carry it in a shirt pocket.",
        "You can put it into the pocket of your shirt, it weighs so little.",
        "It is too heavy to carry in a shirt pocket.",
    ),
    Meaning(
        "The software crashes whenever I copy music to it.",
        "Whenever I copy music to it the software crashes.",
        "Each time songs are transferred the program dies.",
        "The software never crashes when I copy music to it.",
    ),
    Meaning(
        "The case feels cheap and the hinge is loose.",
        "The case feels cheap, and its hinge is loose.",
        "Its housing seems to be of poor quality, with a wobbly hinge.",
        "The case feels solid and the hinge is tight.",
    ),
    Meaning(
        "It needs a special cable that is not in the box.",
        "It needs a special cable which does not come in the box.",
        "You have to buy an extra cable, since none is included.",
        "It comes with the special cable in the box.",
    ),
    Meaning(
        "After the update it became slower.",
        "It became slower after the update.",
        "It has lost speed since the new version was installed.",
        "After the update it became faster.",
    ),
    Meaning(
        "The zoom is excellent for animals far away.",
        "For animals that are far away the zoom is excellent.",
        "Distant wildlife can be photographed very well with this lens.",
        "The zoom is not good enough for animals far away.",
    ),
    Meaning(
        "Support replaced the unit within a week, no questions asked.",
        "Within a week support replaced the unit, no questions asked.",
        "Without any fuss customer service sent me a new one in seven days.",
        "Support did not replace the unit and asked many questions.",
    ),
    Meaning(
        "It gets so hot that you cannot hold it.",
        "It becomes so hot that it cannot be held.",
        "You burn your hand on it, that is how warm it becomes.",
        "It stays so cool that you can hold it.",
    ),
    Meaning(
        "The menu is easy to understand for older people.",
        "Older people will find the menu easy to understand.",
        "Senior citizens will have no trouble with the menus.",
        "The menu is hard to understand for older people.",
    ),
    Meaning(
        "Reading in bright sun is impossible.",
        "It is impossible to read in bright sunlight.",
        "In daylight you cannot make out anything on the display.",
        "Reading in bright sun is no problem.",
    ),
    Meaning(
        "It does what it says and nothing more.",
        "It does just what it says, nothing more.",
        "It keeps its promises, but do not expect anything beyond that.",
        "It does not do what it says.",
    ),
    Meaning(
        "I returned it the next day.",
        "The next day I returned it.",
        "One day later I sent it back to the shop.",
        "I kept it and did not return it.",
    ),
    Meaning(
        "The headphones fall out of my ears when I run.",
        "When I run, the headphones fall out of my ears.",
        "While jogging these earbuds will not stay in place.",
        "The headphones stay in my ears when I run.",
    ),
    Meaning(
        "The stroller folds with one hand.",
        "You can fold the stroller with one hand.",
        "You need a single hand to collapse this buggy.",
        "The stroller does not fold with one hand.",
    ),
    Meaning(
        "The printer jams on every second page.",
        "On every second page the printer jams.",
        "Paper gets stuck in it every other sheet.",
        "The printer has not jammed on a single page.",
    ),
    Meaning(
        "The fan is so quiet that I forget that it is on.",
        "The fan is so quiet, I forget it is on.",
        "You do not notice it running, the fan makes hardly any noise.",
        "The fan is so loud that I cannot forget that it is on.",
    ),
    Meaning(
        "It smelled of plastic for weeks.",
        "For weeks it smelled of plastic.",
        "A chemical odour stayed with it for a long time.",
        "It did not smell of plastic at all.",
    ),
    Meaning(
        "The remote works only if you stand right before the set.",
        "The remote only works when you stand right in front of the set.",
        "Unless you are directly in front of the television the remote does nothing.",
        "The remote works from anywhere in the room.",
    ),
    Meaning(
        "Two of the four wheels were missing from the parcel.",
        "Two of its four wheels were missing in the package.",
        "Only half of its wheels had been put into the package.",
        "All of the four wheels were in the parcel.",
    ),
    Meaning(
        "I have had mine for years without a single problem.",
        "I have had mine for years, and never a single problem.",
        "Mine has run for a long time, and nothing ever went wrong.",
        "I have had mine for days with nothing but problems.",
    ),
    Meaning(
        "The strap is too short for an adult.",
        "For an adult the strap is too short.",
        "Grown-ups will find that the band does not reach around.",
        "The strap is long enough for an adult.",
    ),
    Meaning(
        "It charges in less than an hour.",
        "It takes less than an hour to charge.",
        "Within sixty minutes the battery is full again.",
        "It takes more than a day to charge.",
    ),
    Meaning(
        "The picture flickers when the room is dark.",
        "When the room is dark the picture flickers.",
        "In low light the image on the screen is unsteady.",
        "The picture does not flicker when the room is dark.",
    ),
    Meaning(
        "It is made of metal, so it will survive a fall.",
        "It will survive a fall, since it is made of metal.",
        "Dropping it does no harm, thanks to its steel body.",
        "It is made of plastic, so it will not survive a fall.",
    ),
    Meaning(
        "Do not believe the good reviews.",
        "Do not believe the good reviews here.",
        "You should not trust those who praise it here.",
        "You may believe the good reviews.",
    ),
    Meaning(
        "The lid does not close tightly, so soup leaks into the bag.",
        "The lid does not shut tightly, so the soup leaks into my bag.",
        "Because the cover is not sealed well, my bag was full of soup.",
        "The lid closes tightly, so no soup leaks into the bag.",
    ),
    Meaning(
        "The knife was sharp when it came and still is.",
        "The knife was sharp when I got it, and it still is.",
        "It cuts as well as on the first day.",
        "The knife was blunt when it came and still is.",
    ),
)
