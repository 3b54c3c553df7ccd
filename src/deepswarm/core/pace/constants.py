"""The numbers that the adaptive pace stands on, in one place, so that each can be tried at half and at twice its value.

Source of all: measurements on simulated providers (`./swarm bench pace`); what those showed about the sensitive ones
stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constants:
    """Times are seconds, shares are fractions of 1.

    Attributes:
        begin_calls: Calls under way that are allowed once the first one was heard.
        begin_silent_s: Silence after the first call that counts as having been taken.
        grow_per_s: Growth of the window while it is searched: so many calls a second at least,
        grow_share: or this share of the window a second. A refusal takes some 0.3 s to arrive, and what was sent until
            then is refused as well: this is what bounds the refusals of the search.
        grow_slowly: Factor on both after any sign of a limit that is not a plain cap.
        full: Share of the window that has to be in use before it grows.
        silent_blind: Silence after a send that means "taken" before any refusal was seen,
        silent_least: least silence that does so later: twice the slowest refusal.
        cool: First cool-down after a refusal; doubled by every refused probe,
        cool_most: up to this.
        probe_first: Time from finding a cap to the first look above it; doubled by every fruitless look,
        probe_most: up to this, where the limit does not move,
        probe_moving: or up to this for MOVING_S after it has moved.
        probe_loss: Most refused looks for every call that is served, where the limit does not move.
        give_way: What is left of the window after a refusal inside it: somebody else is there.
        breath_every: Time between two breaths, in which breath_share of a full window is left free for breath_for:
            otherwise somebody who comes later to the same account would be refused for ever.
        queue_share: Share of the latest sends without a first token that shows a queue.
        plateau_gain: Growth of tokens per second for each growth of calls (both as logarithms) that is no gain.
        rate_share: Share of a measured rate that is used.
        pulse_first: Time from finding a rate to the first look above it; longer with every confirmation,
        pulse_most: up to this, where the rate does not move,
        pulse_moving: or up to this while it moves.
        pulse_height: How much faster a look above a rate is.
        pulse_proof: Seconds of excess that prove a higher rate, beside what an empty bucket has gained since.
    """

    begin_calls: float = 4.0
    begin_silent_s: float = 10.0
    grow_per_s: float = 4.0
    grow_share: float = 0.045
    grow_slowly: float = 0.5
    full: float = 0.85
    silent_blind: float = 2.0
    silent_least: float = 0.5
    cool: float = 0.5
    cool_most: float = 12.0
    probe_first: float = 30.0
    probe_most: float = 900.0
    probe_moving: float = 90.0
    probe_loss: float = 4e-4
    give_way: float = 0.9
    breath_every: float = 36.0
    breath_share: float = 0.02
    breath_for: float = 2.0
    queue_share: float = 0.5
    plateau_gain: float = 0.12
    rate_share: float = 0.99
    pulse_first: float = 20.0
    pulse_most: float = 1800.0
    pulse_moving: float = 120.0
    pulse_height: float = 1.4
    pulse_proof: float = 5.0


MOVING_S = 1800.0
"""A limit that moved within this time is taken for one that moves."""
