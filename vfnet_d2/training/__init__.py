"""Training: one trainer over components, built from YAML or LazyConfig files."""
