"""What prevents a first deployment: read from the account, before anything is made."""
