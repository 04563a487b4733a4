"""What real clients get from `idefix serve`. Words depend on the model; shapes and rules do not."""

import json
import math

import huggingface_hub
import openai
import prometheus_client.parser
import pytest
import requests
import text_generation
from text_generation.errors import ValidationError

from conftest import KEY

HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def tgi(server):
    return text_generation.Client(
        base_url=server, headers={"x-use-cache": "0", **HEADERS}, timeout=120
    )


@pytest.fixture
def chat(server):
    return openai.OpenAI(base_url=f"{server}/v1", api_key=KEY, max_retries=0)


@pytest.fixture
def hub(server):
    return huggingface_hub.InferenceClient(base_url=server, api_key=KEY)


@pytest.fixture
def hub_tgi(server):
    return huggingface_hub.InferenceClient(model=server, token=KEY)


# ---- text-generation ---------------------------------------------------------------------------


def test_model_card_example(tgi, blue_uri):
    """The example of IDEFICS's model card, greedy and then top-p."""
    prompt = f"User:![]({blue_uri})Describe this image.<end_of_utterance>\nAssistant:"
    common = dict(
        max_new_tokens=24, repetition_penalty=1.0, stop_sequences=["<end_of_utterance>", "\nUser:"]
    )
    greedy = tgi.generate(prompt, **common)
    assert greedy.generated_text == tgi.generate(prompt, **common).generated_text
    assert greedy.details.seed is None
    assert 1 <= greedy.details.generated_tokens <= 24
    sampled = tgi.generate(prompt, **common, do_sample=True, top_p=0.95, temperature=0.8, seed=7)
    again = tgi.generate(prompt, **common, do_sample=True, top_p=0.95, temperature=0.8, seed=7)
    assert sampled.generated_text == again.generated_text
    assert sampled.details.seed == 7


def test_generate_details(tgi):
    reply = tgi.generate("Hello", max_new_tokens=5, decoder_input_details=True, top_n_tokens=3)
    details = reply.details
    assert len(details.tokens) == details.generated_tokens <= 5
    assert details.prefill[0].logprob is None
    assert all(token.logprob <= 0 for token in details.prefill[1:])
    assert [len(top) for top in details.top_tokens] == [3] * len(details.tokens)
    for token, top in zip(details.tokens, details.top_tokens):
        assert token.id == top[0].id
        assert math.isclose(token.logprob, top[0].logprob, abs_tol=1e-5)


def test_best_of(tgi):
    reply = tgi.generate("Hello", max_new_tokens=4, best_of=2, do_sample=True)
    others = reply.details.best_of_sequences
    assert len(others) == 1
    mean = lambda tokens: sum(token.logprob for token in tokens) / len(tokens)
    assert mean(reply.details.tokens) >= mean(others[0].tokens)


def test_stream_equals_generate(tgi, blue_uri):
    prompt = f"User:![]({blue_uri})What?<end_of_utterance>\nAssistant:"
    whole = tgi.generate(prompt, max_new_tokens=8)
    events = list(tgi.generate_stream(prompt, max_new_tokens=8))
    assert events[-1].generated_text == whole.generated_text
    assert [event.token.id for event in events] == [token.id for token in whole.details.tokens]
    text = "".join(event.token.text for event in events if not event.token.special)
    assert text == whole.generated_text
    assert events[-1].details.generated_tokens == len(events)


def test_images_by_address(tgi, red, blue_uri):
    one = tgi.generate(f"![]({red})A picture of", max_new_tokens=4, decoder_input_details=True)
    two = tgi.generate(
        f"![]({red})![]({blue_uri})Two pictures of", max_new_tokens=4, decoder_input_details=True
    )
    assert one.details.generated_tokens >= 1
    count = lambda reply: sum(token.text == "<image>" for token in reply.details.prefill)
    assert (count(one), count(two)) == (1, 2)


def test_stop_strings(tgi):
    free = tgi.generate("Hello", max_new_tokens=12)
    words = [token.text for token in free.details.tokens if token.text.strip()]
    if len(words) < 2:
        pytest.skip("this model says too little")
    cut = tgi.generate("Hello", max_new_tokens=12, stop_sequences=[words[1]])
    assert cut.details.finish_reason.value == "stop_sequence"
    assert cut.generated_text.endswith(words[1])
    assert free.generated_text.startswith(cut.generated_text)


def test_errors_are_the_clients_exceptions(tgi):
    with pytest.raises(ValidationError, match="cannot be empty"):
        tgi.generate("")
    with pytest.raises(ValidationError, match="max_new_tokens"):
        tgi.generate("Hello", max_new_tokens=10**6)
    with pytest.raises(ValidationError, match="Could not fetch image"):
        tgi.generate("![](http://169.254.169.254/latest/meta-data)")


def test_chat_of_the_tgi_client(tgi):
    reply = tgi.chat([{"role": "user", "content": "Hello"}], max_tokens=4)
    assert reply.choices[0].message.content is not None
    assert reply.usage["total_tokens"] > 0


# ---- openai ------------------------------------------------------------------------------------


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def text(words):
    return {"type": "text", "text": words}


def test_chat_with_interleaved_images(chat, red, blue_uri):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [text("First"), image(red), text("then"), image(blue_uri)]},
        {"role": "assistant", "content": "Red, then blue."},
        {"role": "user", "content": "Again?"},
    ]
    ask = lambda **more: chat.chat.completions.create(
        model="tgi", messages=messages, max_tokens=8, temperature=0, **more
    )
    whole = ask(logprobs=True, top_logprobs=2)
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert len(whole.choices[0].logprobs.content) == whole.usage.completion_tokens
    assert len(whole.choices[0].logprobs.content[0].top_logprobs) == 2
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_chat_seed_and_n(chat):
    ask = lambda seed: chat.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "Hi"}], max_tokens=6, seed=seed, n=2
    )
    first, second = ask(5), ask(5)
    texts = lambda reply: [choice.message.content for choice in reply.choices]
    assert texts(first) == texts(second)
    assert len(texts(first)) == 2


def test_response_formats(chat):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "ok": {"type": "boolean"}},
        "required": ["n", "ok"],
        "additionalProperties": False,
    }
    reply = chat.chat.completions.create(
        model="tgi",
        messages=[{"role": "user", "content": "A number?"}],
        max_tokens=60,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
    )
    if reply.choices[0].finish_reason == "stop":
        assert set(json.loads(reply.choices[0].message.content)) == {"n", "ok"}


def test_openai_errors(chat, server):
    with pytest.raises(openai.UnprocessableEntityError):
        chat.chat.completions.create(model="tgi", messages=[])
    with pytest.raises(openai.APIError, match="n"):
        list(
            chat.chat.completions.create(
                model="tgi", messages=[{"role": "user", "content": "x"}], n=100, stream=True
            )
        )
    for schema in ({"properties": {"a": {"pattern": "("}}}, {"properties": {"a": {"type": "wish"}}}):
        with pytest.raises(openai.BadRequestError):
            chat.chat.completions.create(
                model="tgi",
                messages=[{"role": "user", "content": "x"}],
                response_format={"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}},
            )
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server}/v1", api_key="wrong").models.list()
    assert [model.object for model in chat.models.list()] == ["model"]


def test_completions(chat):
    reply = chat.completions.create(model="tgi", prompt=["Hello", "World"], max_tokens=4, temperature=0)
    assert [choice.index for choice in reply.choices] == [0, 1]
    streamed = {0: "", 1: ""}
    for chunk in chat.completions.create(
        model="tgi", prompt=["Hello", "World"], max_tokens=4, temperature=0, stream=True
    ):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == {choice.index: choice.text for choice in reply.choices}


def test_completions_score_token_ids_for_lm_eval(chat, server):
    """What lm-eval's local-completions does: echoed token ids with log-probabilities."""
    tokens = requests.post(
        f"{server}/tokenize", json={"inputs": "The quick brown fox"}, headers=HEADERS
    ).json()
    ids = [token["id"] for token in tokens]
    reply = chat.completions.create(
        model="tgi", prompt=[ids], max_tokens=1, logprobs=1, echo=True, temperature=0
    )
    logprobs = reply.choices[0].logprobs
    assert len(logprobs.tokens) == len(ids) + 1
    assert logprobs.token_logprobs[0] is None
    context = len(ids) - 1
    continuation = logprobs.token_logprobs[context:-1]
    assert len(continuation) == 1 and continuation[0] < 0
    assert all(
        value <= max(top.values()) + 1e-5
        for value, top in zip(logprobs.token_logprobs[1:-1], logprobs.top_logprobs[1:-1])
    )
    only = chat.completions.create(
        model="tgi", prompt=[ids], max_tokens=0, logprobs=1, echo=True
    ).choices[0].logprobs
    assert only.token_logprobs[1:] == pytest.approx(logprobs.token_logprobs[1:-1], abs=1e-5)


# ---- huggingface_hub ---------------------------------------------------------------------------


def test_hub_text_generation(hub_tgi):
    reply = hub_tgi.text_generation("Hello", max_new_tokens=4, details=True)
    assert reply.details.generated_tokens == len(reply.details.tokens)
    pieces = list(hub_tgi.text_generation("Hello", max_new_tokens=4, stream=True, details=True))
    assert pieces[-1].generated_text == reply.generated_text


def test_hub_chat(hub, blue_uri):
    messages = [{"role": "user", "content": [image(blue_uri), text("Colour?")]}]
    whole = hub.chat_completion(messages, max_tokens=4, temperature=0)
    stream = hub.chat_completion(messages, max_tokens=4, temperature=0, stream=True)
    joined = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert joined == whole.choices[0].message.content


# ---- plain HTTP --------------------------------------------------------------------------------


def test_info_health_and_tokens(server):
    assert requests.get(f"{server}/health").content == b""
    assert requests.get(f"{server}/info").status_code == 401
    info = requests.get(f"{server}/info", headers=HEADERS).json()
    assert info["max_input_tokens"] < info["max_total_tokens"]
    tokens = requests.post(
        f"{server}/tokenize", json={"inputs": "Hello world"}, headers=HEADERS
    ).json()
    assert tokens[0]["id"] == 1
    for token in tokens[1:]:
        assert "Hello world"[token["start"] : token["stop"]].strip() == token["text"].strip()
    chat = requests.post(
        f"{server}/chat_tokenize",
        json={"messages": [{"role": "user", "content": "Hi"}]},
        headers=HEADERS,
    ).json()
    assert chat["templated_text"].startswith("User:")
    assert chat["templated_text"].endswith("Assistant:")


def test_special_tokens_in_chat_stay_text(server):
    def count(words):
        reply = requests.post(
            f"{server}/chat_tokenize",
            json={"messages": [{"role": "user", "content": words}]},
            headers=HEADERS,
        ).json()
        texts = [token["text"] for token in reply["tokenize_response"]]
        return [texts.count(name) for name in ("<image>", "</s>", "<end_of_utterance>")]

    plain = count("x")
    assert count("x<image></s><end_of_utterance><fake_token_around_image>") == plain


def test_metrics_parse(server, tgi):
    tgi.generate("Hello", max_new_tokens=2)
    text = requests.get(f"{server}/metrics", headers=HEADERS).text
    families = {
        family.name: family for family in prometheus_client.parser.text_string_to_metric_families(text)
    }
    assert families["tgi_request_duration"].type == "histogram"
    assert families["tgi_request_count"].samples[0].value >= 1
    assert "tgi_queue_size" in families
