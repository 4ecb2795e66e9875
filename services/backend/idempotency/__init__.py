"""`Idempotency-Key`: a repeated POST is carried out once, and gets the same response again."""
