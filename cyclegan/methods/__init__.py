"""Translation methods: one abstract class, and one final class a file."""
