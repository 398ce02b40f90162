"""Workflows (websocket.md §7.4): named steps as a graph, checked when they are saved, run on the spine of every turn.

Nothing is imported here: what a workflow needs is loaded when there is one.
"""
