"""Synthetic people, cameras and scenes, written in the official on-disk formats.

What the demo, the tests and the scale benchmarks run on. A world is asked for (`spec`) and planned from a seed: who is
in which scene (`casting`), where everybody stands (`world`, `bodies`). It is drawn (`people`, `places`) and written as
the datasets' authors ship theirs (`tree`, and a file for each of the `formats`). `sheet` shows what a tree looks like.
"""
