"""The data of a training, in an order that can be resumed."""
