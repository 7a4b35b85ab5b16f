"""What several tests share: reference data, small models and oracles."""
