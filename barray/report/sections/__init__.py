"""What a report's page is made of."""
