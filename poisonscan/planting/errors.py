"""What can be wrong with data that attacks are to be planted in."""


class PlantError(ValueError):
    """Nothing can be planted; the message says why and what to do."""
