"""Three workflows to start from, in the form in which they are edited. AGENT stands for the agent that hosts them."""

from collections.abc import Mapping

EXAMPLES: Mapping[str, str] = {
    "Draft, check, improve": """\
inputs:
  - {name: topic, type: string, description: What to write about}
steps:
  - id: draft
    kind: agent
    agent: AGENT
    message: Write three sentences about {{ inputs.topic }}.
  - id: review
    kind: agent
    agent: AGENT
    label: Review the draft
    message: |
      Rate this text from 1 to 5 and say what is missing.

      {{ steps.draft.output }}
    output: json
    schema:
      type: object
      properties:
        stars: {type: integer}
        missing: {type: string}
      required: [stars, missing]
    retry: {times: 2, delay_s: 1}
  - id: good_enough
    kind: branch
    condition: steps.review.output.stars >= 4
    then:
      - {id: keep, kind: output, name: text, value: "{{ steps.draft.output }}"}
    else:
      - id: improve
        kind: agent
        agent: AGENT
        message: |
          Improve this text. Missing: {{ steps.review.output.missing }}

          {{ steps.draft.output }}
      - {id: improved, kind: output, name: text, value: "{{ steps.improve.output }}"}
  - {id: stars, kind: output, type: integer, value: "{{ steps.review.output.stars }}"}
""",
    "Many documents, one summary": """\
inputs:
  - {name: texts, type: array, description: The texts to sum up}
  - {name: language, type: string, default: English}
steps:
  - id: each
    kind: map
    label: Each text
    over: inputs.texts
    concurrency: 4
    steps:
      - id: summarize
        kind: agent
        agent: AGENT
        message: |
          Sum this up in one sentence, in {{ inputs.language }}:

          {{ item }}
        retry: {times: 2, delay_s: 2}
        on_error: continue
  - id: overview
    kind: agent
    agent: AGENT
    label: Bring it together
    message: |
      Write a paragraph from these notes:
      {% for note in steps.each.output %}
      - {{ note or "(could not be read)" }}
      {% endfor %}
  - {id: summary, kind: output, value: "{{ steps.overview.output }}"}
  - {id: notes, kind: output, type: array, value: "{{ steps.each.output }}"}
""",
    "Answer after approval": """\
inputs:
  - {name: question, type: message}
  - {name: earlier, type: history, required: false}
steps:
  - id: views
    kind: parallel
    label: Two views
    steps:
      - {id: pro, kind: agent, agent: AGENT, message: "What speaks for it? {{ inputs.question }}"}
      - {id: contra, kind: agent, agent: AGENT, message: "What speaks against it? {{ inputs.question }}"}
  - id: draft
    kind: agent
    agent: AGENT
    history: inputs.earlier
    message: |
      {{ inputs.question }}

      For: {{ steps.pro.output }}
      Against: {{ steps.contra.output }}
  - id: ok
    kind: approval
    label: Send the answer?
    message: "{{ steps.draft.output }}"
    approver: manager
    on_denial: continue
  - id: answer
    kind: output
    value: "{{ steps.draft.output if steps.ok.output.approved else 'The answer was not approved.' }}"
""",
}


def example(name: str, agent: str) -> str:
    """An example, for this agent."""
    return EXAMPLES[name].replace("AGENT", agent)
