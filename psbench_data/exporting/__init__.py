"""Datasets written for other libraries: Hugging Face datasets, Parquet, COCO-style JSON, and described in Croissant."""
