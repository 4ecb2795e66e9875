"""The platform at a glance, for operators: servers as the proxies see them, what runs badly, and single requests."""
