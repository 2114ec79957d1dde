"""A model whose window is small answers all the same."""

from allotrope import build_agent, load_settings
from allotrope.models.providers.capabilities import openai_capabilities


def test_an_answer_leaves_room_for_a_question_where_both_share_a_window() -> None:
    """gpt-4's table has 8,192 tokens for the prompt and 8,192 for the answer: the same 8,192."""
    can = openai_capabilities("gpt-4")
    assert (can.max_input_tokens, can.max_output_tokens) == (8_192, 4_096)
    can = openai_capabilities("o3")
    assert (can.max_input_tokens, can.max_output_tokens) == (200_000, 100_000)


def test_gpt_4_answers_under_a_profile_with_a_long_answer(
    simulator_environ: dict[str, str],
) -> None:
    settings = load_settings(
        environ={**simulator_environ, "ALLOTROPE_OPENAI__MODEL": "gpt-4"}, env_file=None
    )
    with build_agent("assistant", settings=settings) as agent:
        for profile in ("analytical", "balanced", "creative", "economical", "precise"):
            reply = agent.ask(f"Say hello, {profile}", context={"profile": profile})
            assert reply.answer
            assert reply.provider == "openai"
