"""What the two players pay."""
