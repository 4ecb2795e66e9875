"""The whole platform on one machine: embedded stores, local balancer, supervisor, demo."""
