"""The platform on AWS: plain data and Pulumi components. Importing the package imports no pulumi."""
