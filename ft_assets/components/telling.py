"""How a sensor tells people, so that no message is lost, and none comes twice without need.

It remembers, for each channel by itself, what it has told there. A channel that is broken makes ticks fail until it is
mended, and is told then what it has missed; the others are told in the meantime, and no more than once. (Dagster's own
run failure sensor goes on after an error: the message would be lost.)
"""

import json
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ft_assets.errors import UserError
from ft_assets.io.notifier import NotifierResource
from ft_assets.notifications import Channel, Notification

__all__ = ["OFF", "Letter", "tell"]

OFF = (
    "notifications are off: no channel is configured (FT_NOTIFY_WEBHOOK, FT_NOTIFY_SLACK, FT_NOTIFY_EMAIL_TO)"
)
_ENOUGH_SECONDS = 20.0
"""After this a tick sends no further message: Dagster cuts one off after 60, and a last one may take half of that."""

Memory = Any
"""What has been told on a channel, as plain JSON."""


@dataclass(frozen=True)
class Letter:
    """What a channel is to be told next."""

    notification: Notification | None
    """None: there is nothing to tell of this event."""
    then: Memory
    """The channel's memory once it is told."""


@dataclass(frozen=True)
class Delivery:
    """What came of a channel's letters."""

    memory: Memory
    told: int
    fault: UserError | None


def tell(
    context: dg.SensorEvaluationContext,
    notifier: NotifierResource,
    *,
    start: Callable[[], Memory],
    due: Callable[[Any], list[Letter]],
) -> dg.SensorResult:
    """Tell each channel what it has not been told yet.

    Args:
        start: the memory of a channel that is new.
        due: what a channel with this memory is to be told.

    Raises:
        UserError: `FT_UI_URL` is no URL; or a channel could not be told, and no memory has changed. Where one has,
            it is kept first, the fault is logged, and the next tick, which meets it again, fails.
    """
    channels = notifier.channels()
    if not channels:
        # What happens meanwhile is not told later: off is off.
        return dg.SensorResult(skip_reason=OFF, cursor="{}")
    notifier.link()
    before: dict[str, Memory] = json.loads(context.cursor or "{}")
    memories = {each.name: before[each.name] if each.name in before else start() for each in channels}
    letters: dict[str, list[Letter]] = {}
    for memory in memories.values():
        if (same := json.dumps(memory)) not in letters:
            letters[same] = due(memory)
    until = time.monotonic() + _ENOUGH_SECONDS

    def deliver(channel: Channel) -> Delivery:
        memory = memories[channel.name]
        return _deliver(channel, memory, letters[json.dumps(memory)], until)

    with ThreadPoolExecutor(len(channels)) as pool:
        made = dict(zip(memories, pool.map(deliver, channels), strict=True))
    after = {name: delivery.memory for name, delivery in made.items()}
    faults = [delivery.fault for delivery in made.values() if delivery.fault]
    if faults and after == before:
        raise _together(faults)
    for fault in faults:
        context.log.error(str(fault))
    lines = [f"{name}: told of {delivery.told}" for name, delivery in made.items() if delivery.told]
    lines += [f"not told, and tried again: {fault}" for fault in faults]
    return dg.SensorResult(skip_reason="\n".join(lines) or "nothing to tell", cursor=json.dumps(after))


def _deliver(channel: Channel, memory: Memory, letters: Sequence[Letter], until: float) -> Delivery:
    """Send letters in their order, up to the first that cannot be delivered."""
    told = 0
    try:
        channel.check()
        for letter in letters:
            if letter.notification is not None:
                if time.monotonic() > until:
                    break
                channel.send(letter.notification)
                told += 1
            memory = letter.then
    except UserError as error:
        return Delivery(memory, told, error)
    except Exception as error:
        # Kept from the other channels, whose memory must be kept. Its text may hold a secret: its lines alone are told.
        lines = "".join(traceback.format_tb(error.__traceback__))
        what = f"{channel.name}: a fault of the program: {type(error).__name__}\n{lines}"
        return Delivery(memory, told, UserError(what, do="report it with these lines"))
    return Delivery(memory, told, None)


def _together(faults: Sequence[UserError]) -> UserError:
    if len(faults) == 1:
        return faults[0]
    return UserError("several channels cannot be told:\n" + "\n".join(map(str, faults)))
