"""What stands in the way of a first deployment: read from the account, before anything is made."""
