"""What a user can put right, and the words for it. Not here: the checks themselves."""


class UserError(Exception):
    """Something that the user can put right. Its text says, in one line, what, where and how."""


class Diverged(Exception):
    """A loss or a weight is not finite. The text says which, and at which step."""


def flag(name: str) -> str:
    """The command line's name of a field: batch_size is --batch-size."""
    return "--" + name.replace("_", "-")


def require(condition: bool, flag: str, value: object, allowed: str) -> None:
    """Raise ValueError naming the flag, its value and what is allowed, unless `condition` holds."""
    if not condition:
        raise ValueError(f"{flag} {value}: must be {allowed}")


def first_line(text: object) -> str:
    """The first line of a text, or of an error's text; an error without one gives its kind.

    Of the system's errors it is the reason alone, such as "No space left on device". A line that ends with a colon
    says nothing without the next one.
    """
    lines = [line.strip() for line in str(getattr(text, "strerror", None) or text).strip().splitlines()]
    if not lines:
        return type(text).__name__
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:200]
