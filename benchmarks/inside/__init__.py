"""What runs in a process of one side. Nothing in here may need a package that only one of the sides has."""
