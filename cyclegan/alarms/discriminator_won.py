"""A discriminator that is never wrong any more."""

from cyclegan.alarms.history import History, domain, places, recent, require_one_or_more


class DiscriminatorWon:
    """A discriminator takes held-out real images for real and translated ones for fake, for long.

    Raised in a domain where, in each of the last `validations`, `realness_real` is at least `real` and
    `realness_fake` at most `fake`.

    In toy runs that go well, they stay below 0.8 and above 0.08; without adversarial term in the generators' loss,
    they are at 0.9 to 0.98 and 0.07 to 0.01 from the first epoch on.

    Args:
        real: verdict on real images, of 0 to 1.
        fake: verdict on translated images.
        validations: in a row.
    """

    name = "discriminator_won"

    def __init__(self, real: float = 0.9, fake: float = 0.1, validations: int = 3) -> None:
        require_one_or_more(validations)
        self.real = real
        self.fake = fake
        self.validations = validations

    def check(self, history: History) -> dict[str, str]:
        """The domains whose discriminator has won; see `Rule.check`."""
        found = {}
        for place in places(history, "realness_real"):
            real = recent(history, f"d_real_{place}", self.validations)
            fake = recent(history, f"d_fake_{place}", self.validations)
            if real and fake and min(real) >= self.real and max(fake) <= self.fake:
                found[place] = (
                    f"{domain(place)}: the discriminator has won: it gives real images {real[-1]:.2f} and translated "
                    f"ones {fake[-1]:.2f} (alarm: from {self.real:g} and up to {self.fake:g}, {self.validations} "
                    "validations in a row); try a lower model.discriminator_lr, a smaller discriminator, "
                    "augmentation=light, or more images"
                )
        return found
