"""Running the models: trainers for both config systems, checks, command line."""
