"""The pure core: what decides.

Nothing in this room reads a clock, draws a random number, opens a file or awaits anything. Time, chance and
environment arrive as arguments, so that whole runs can be decided, and tested, in virtual time.
"""
