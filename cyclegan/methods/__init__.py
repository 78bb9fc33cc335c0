"""Translation methods: the abstract class, and a final class in each file."""
