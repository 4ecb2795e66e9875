"""The way of usage readings from Redis to SQS, and what closes and checks them."""
