"""Provider errors become the project's own."""

from allotrope.exceptions import ProviderError


def classify(exc: BaseException, *, provider: str, model: str) -> ProviderError:
    """The project's error for whatever a provider's client raised."""
    if isinstance(exc, ProviderError):
        return exc
    return ProviderError(str(exc), provider=provider, model=model)
