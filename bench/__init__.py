"""The benchmark suite: every kernel against its peers, in processes that take turns.

``pytest --benchmark`` runs it, ``python -m bench report`` draws what it wrote.
"""
