"""How often a model's comparison of a sentence with its source agrees with the set.

It is the check that `ALLOTROPE_AGENTS__RESEARCH_ENTAILMENT=true` adds, asked of the embedded model,
which is small (135M): its figures say what such a model is worth here, not what a larger one is.
"""

import sys
from typing import Any

from _form import arguments, show, write_json
from _truth_sets import lines

from allotrope.graphs.work.sources import citations
from allotrope.models.profiles.parameters import plan_for
from allotrope.models.profiles.profile import Profile
from allotrope.models.providers.embedded import build_embedded
from allotrope.prompts.library import open_library
from allotrope.settings import load_settings
from allotrope.support.fencing import Untrusted

SENTENCES, QUICK = 30, 3
"""Of each kind, right and wrong; and of a quick run."""


def spread(chosen: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """So many cases, evenly over a set."""
    return chosen[:: max(1, len(chosen) // count)][:count]


def main() -> int:
    """Asks the model about right and about wrong sentences, one at a time."""
    options = arguments("A model's comparison of sentences with sources.").parse_args()
    settings = load_settings(environ={}, env_file=None)
    template = open_library(settings).get("researcher.entailment")
    profile = Profile(name="tried", description="Tried.", temperature=0.0, max_output_tokens=8)
    plan = plan_for(profile, "embedded", "embedded")
    model = build_embedded(settings.embedded, **plan.arguments)
    results: dict[str, Any] = {}
    rows = []
    for right in (True, False):
        chosen = spread([one for one in lines("researcher") if one["right"] is right],
                        QUICK if options.quick else SENTENCES)  # fmt: skip
        said = {"yes": 0, "no": 0, "neither": 0}
        for case in chosen:
            passages = dict(enumerate(case["source"], 1))
            claims = [one for line in citations.check(case["sentence"], passages) for one in line]
            rendered = template.render(
                {"claims": Untrusted(citations.with_sources(claims[:1], passages))}
            )
            reply = model.invoke(rendered).text
            if citations.denied(reply):
                said["no"] += 1
            else:
                said["yes" if "yes" in reply.lower() else "neither"] += 1
        name = "right sentences" if right else "wrong sentences"
        results[name] = {"of": len(chosen), **said}
        rows.append((name, len(chosen), said["yes"], said["no"], said["neither"]))
    show("What the embedded model says of them", ("", "cases", "yes", "no", "neither"), rows)
    write_json(options.json, "researcher_entailment", results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
