"""The room of the live page: a run in a browser of this machine, read only.

access.py     who may ask: the rules, without a socket
following.py  the run, folded on as its journal grows, in a thread of its own
answers.py    what is answered to which path
server.py     the socket, on loopback alone
assets/       the page itself; what it shares with the report lies in report/assets
"""
