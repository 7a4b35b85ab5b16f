"""Fine-tuning on a user's dataset: decides data, recipe and config, then trains."""
