"""Side by side: the platform against its peers, as ratios measured in one run."""
