"""What is shipped for Prometheus and Grafana in `observability/`, made of the objectives and of tables in here."""
