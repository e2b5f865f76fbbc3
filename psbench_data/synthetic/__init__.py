"""Synthetic people, cameras and scenes, written in the official on-disk formats.

What the demo, the tests and the scale benchmarks run on: a world is planned from a seed (`world`), drawn (`people`,
`places`) and written as its authors would ship it (`cuhk_sysu`).
"""
