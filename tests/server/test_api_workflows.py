"""Saved workflows over HTTP: endpoints with a schema, conflicts, history, trash, checks and plans."""

from __future__ import annotations

from tests.server.running import Json, Server, one_node, workflow

ADD = workflow(
    {"sum": ("t.Add", {"a": 1.0, "b": 2.0}), "end": ("t.Say", {})},
    meta={"name": "Adding", "description": "Adds two numbers."},
    inputs={
        "first": {"type": "FLOAT", "default": 1.0, "doc": "The first number.", "to": ["sum.a"]},
        "words": {"type": "STRING", "to": ["end.text"]},
    },
    outputs={"total": {"from": "sum.sum"}},
)


def save(server: Server, name: str, document: Json, version: str | None = None) -> Json:
    reply = server.ask("PUT", f"/workflows/{name}", {"workflow": document, "version": version})
    assert reply.status == 200, reply.body
    return reply.json


def test_saved_workflow_is_listed_and_read_back(server: Server) -> None:
    saved = save(server, "sums/add%20two", ADD)
    assert (saved["name"], saved["title"], saved["inputs"]) == ("sums/add two", "Adding", ["first", "words"])
    listed = server.ask("GET", "/workflows").json["workflows"]
    assert saved in listed
    read = server.ask("GET", "/workflows/sums/add%20two").json
    assert read["saved"] == saved
    assert read["workflow"]["inputs"]["first"]["doc"] == "The first number."


def test_null_stays_in_a_document(server: Server) -> None:
    document = one_node("t.Say") | {"meta": {"nothing": None}}
    save(server, "nulls", document)
    assert server.ask("GET", "/workflows/nulls").json["workflow"]["meta"] == {"nothing": None}


def test_saved_workflow_is_an_endpoint_with_its_schema(server: Server) -> None:
    save(server, "endpoint", ADD)
    description = server.ask("GET", "/openapi.json").json
    operation = description["paths"]["/api/v1/workflows/endpoint/run"]["post"]
    assert operation["summary"] == "Adding"
    schema = operation["requestBody"]["content"]["application/json"]["schema"]["allOf"][1]
    assert schema["required"] == ["inputs"]
    inputs = schema["properties"]["inputs"]
    assert inputs["properties"]["first"] == {"type": "number", "default": 1.0, "description": "The first number."}
    assert inputs["required"] == ["words"]
    reply = server.ask("POST", "/workflows/endpoint/run", {"inputs": {"first": 5.0, "words": "hi"}})
    assert reply.status == 201
    job = server.end_of(reply.json["job"]["id"])
    assert (job["values"], job["name"]) == ({"total": 7.0}, "endpoint")


def test_endpoint_refuses_what_it_doesnt_know(server: Server) -> None:
    save(server, "strict", ADD)
    assert server.ask("POST", "/workflows/strict/run", {"inputs": {"odd": 1}}).code == "invalid_workflow"
    assert server.ask("POST", "/workflows/strict/run", {"odd": 1}).code == "bad_field"
    assert server.ask("POST", "/workflows/nothing/run", {}).code == "unknown_workflow"
    long = server.ask("POST", f"/workflows/{'x' * 250}/run", {})
    assert (long.status, long.code) == (422, "bad_field")


def test_only_who_saw_the_newest_version_may_save(server: Server) -> None:
    first = save(server, "shared", one_node("t.Number", value=1.0))
    second = save(server, "shared", one_node("t.Number", value=2.0), first["version"])
    late = server.ask(
        "PUT", "/workflows/shared", {"workflow": one_node("t.Number", value=3.0), "version": first["version"]}
    )
    assert (late.status, late.code) == (409, "version_conflict")
    assert late.json["current_version"] == second["version"]
    new = server.ask("PUT", "/workflows/shared", {"workflow": one_node("t.Number"), "version": None})
    assert new.code == "version_conflict"
    assert server.ask("DELETE", f"/workflows/shared?version={first['version']}").code == "version_conflict"
    assert server.ask("DELETE", "/workflows/shared").code == "bad_parameter"


def test_earlier_versions_are_kept_and_read(server: Server) -> None:
    first = save(server, "kept", one_node("t.Number", value=1.0))
    second = save(server, "kept", one_node("t.Number", value=2.0), first["version"])
    (revision,) = server.ask("GET", "/workflows/kept/history").json["revisions"]
    assert revision["version"] == first["version"]
    old = server.ask("GET", f"/workflows/kept?version={first['version']}").json
    assert old["workflow"]["nodes"]["n"]["inputs"] == {"value": 1.0}
    assert old["saved"]["version"] == second["version"]
    assert server.ask("GET", "/workflows/kept?version=odd").code == "unknown_workflow"


def test_damaged_workflow_is_brought_back_from_its_history(server: Server) -> None:
    first = save(server, "damaged", one_node("t.Number", value=1.0))
    save(server, "damaged", one_node("t.Number", value=2.0), first["version"])
    (server.data / "workflows" / "damaged.json").write_text("{")
    listed = {each["name"]: each for each in server.ask("GET", "/workflows").json["workflows"]}
    assert listed["damaged"]["error"]
    assert server.ask("GET", "/workflows/damaged").code == "bad_document"
    old = server.ask("GET", f"/workflows/damaged?version={first['version']}").json
    again = save(server, "damaged", old["workflow"], old["saved"]["version"])
    assert again["version"] == first["version"]


def test_deleted_workflow_comes_back_from_the_trash(server: Server) -> None:
    saved = save(server, "brief", ADD)
    trashed = server.ask("DELETE", f"/workflows/brief?version={saved['version']}").json
    assert server.ask("GET", "/workflows/brief").code == "unknown_workflow"
    assert trashed in server.ask("GET", "/trash").json["workflows"]
    save(server, "brief", one_node("t.Number"))
    taken = server.ask("POST", f"/trash/{trashed['id']}/restore")
    assert (taken.status, taken.code) == (409, "version_conflict")
    now = server.ask("GET", "/workflows/brief").json["saved"]["version"]
    server.ask("DELETE", f"/workflows/brief?version={now}")
    assert server.ask("POST", f"/trash/{trashed['id']}/restore").json["version"] == saved["version"]
    assert server.ask("POST", f"/trash/{trashed['id']}/restore").code == "unknown_workflow"


def test_renamed_workflow_keeps_its_history(server: Server) -> None:
    first = save(server, "folder/old", ADD)
    second = save(server, "folder/old", one_node("t.Number"), first["version"])
    stale = server.ask("POST", "/workflows/folder/old/rename", {"name": "new", "version": first["version"]})
    assert (stale.status, stale.code) == (409, "version_conflict")
    given = {"name": "other/new", "version": second["version"]}
    renamed = server.ask("POST", "/workflows/folder/old/rename", given)
    assert (renamed.status, renamed.json["name"], renamed.json["version"]) == (200, "other/new", second["version"])
    revisions = server.ask("GET", "/workflows/other/new/history").json["revisions"]
    assert [each["version"] for each in revisions] == [first["version"]]
    assert server.ask("GET", "/workflows/folder/old").code == "unknown_workflow"


def test_rename_is_refused_to_a_name_that_is_taken_or_cant_be_used_and_of_what_was_shipped(server: Server) -> None:
    version = save(server, "mine", ADD)["version"]
    save(server, "taken", ADD)
    for name, code in [("taken", "version_conflict"), ("a/history", "bad_name"), ("../b", "bad_name")]:
        assert server.ask("POST", "/workflows/mine/rename", {"name": name, "version": version}).code == code
    shipped = next(each for each in server.ask("GET", "/workflows").json["workflows"] if each["shipped"])
    given = {"name": "taken away", "version": shipped["version"]}
    assert server.ask("POST", f"/workflows/{shipped['name']}/rename", given).code == "shipped_workflow"


def test_names_that_cant_be_used_are_refused(server: Server) -> None:
    for name in (".hidden", "a%2f..%2fb", "a/history", "nul", "a%00b", "x" * 201, "a%5cb", "%2e%2e/b"):
        reply = server.ask("PUT", f"/workflows/{name}", {"workflow": ADD})
        assert reply.status in (404, 422), name
        assert reply.code in ("bad_name", "unknown_path"), name


def test_name_with_braces_is_reached(server: Server) -> None:
    save(server, "%7Bbraces%7D", ADD)
    assert server.ask("GET", "/workflows/%7Bbraces%7D").json["saved"]["name"] == "{braces}"
    assert "/api/v1/workflows/%7Bbraces%7D/run" in server.ask("GET", "/openapi.json").json["paths"]


def test_check_finds_all_problems(server: Server) -> None:
    sound = server.ask("POST", "/check", {"workflow": ADD, "inputs": {"words": "x"}}).json
    assert sound == {"sound": True, "problems": []}
    broken = workflow(
        {"a": ("t.Add", {"b": {"$link": "b.odd"}}), "b": ("t.Odd", {})}, outputs={"sum": {"from": "a.sum"}}
    )
    answer = server.ask("POST", "/check", {"workflow": broken}).json
    assert answer["sound"] is False
    assert {problem.get("node") for problem in answer["problems"]} >= {"a", "b"}


def test_check_runs_a_nodes_own_check_in_a_worker(server: Server) -> None:
    answer = server.ask("POST", "/check", {"workflow": one_node("t.Ordered", low=3, high=1)}).json
    assert answer["sound"] is False
    (problem,) = answer["problems"]
    assert (problem["node"], problem["input"]) == ("n", "high")
    assert "below low" in problem["message"]


def test_own_check_is_run_in_sub_graphs_too(server: Server) -> None:
    inner = {
        "nodes": {"o": {"type": "t.Ordered", "inputs": {"low": 3, "high": 1}}},
        "outputs": {"value": {"from": "o.value"}},
    }
    outer = workflow({"s": ("subgraph:inner", {})}, subgraphs={"inner": inner})
    assert server.ask("POST", "/check", {"workflow": outer}).json["sound"] is False


def test_problems_have_one_shape_wherever_they_are_told(server: Server) -> None:
    broken = one_node("t.Add")
    checked = server.ask("POST", "/check", {"workflow": broken}).json["problems"]
    refused = server.ask("POST", "/jobs", {"workflow": broken})
    planned = server.ask("POST", "/plan", {"workflow": broken})
    assert checked == refused.json["problems"] == planned.json["problems"]
    assert refused.code == planned.code == "invalid_workflow"
    setting = {"workflow": ADD, "inputs": {"odd": 1}}
    assert server.ask("POST", "/check", setting).json == server.ask("POST", "/jobs", setting).json


def test_plan_says_what_would_run(server: Server) -> None:
    reply = server.ask("POST", "/plan", {"workflow": ADD, "inputs": {"words": "x"}})
    assert reply.status == 200
    assert isinstance(reply.json["plan"], dict)


def test_saved_workflows_are_checked_by_name(server: Server) -> None:
    save(server, "by%20name", ADD)
    assert server.ask("POST", "/check", {"saved": "by name", "inputs": {"words": ""}}).json["sound"] is True
    assert server.ask("POST", "/check", {"saved": "nothing"}).code == "unknown_workflow"


def test_shipped_workflows_are_listed_read_and_described(server: Server) -> None:
    listed = {each["name"]: each for each in server.ask("GET", "/workflows").json["workflows"]}
    assert listed["text_to_image"]["shipped"] is True
    read = server.ask("GET", "/workflows/text_to_image").json
    assert read["saved"] == listed["text_to_image"]
    assert read["workflow"]["inputs"]["prompt"]["type"] == "STRING"
    version = read["saved"]["version"]
    assert server.ask("GET", f"/workflows/text_to_image?version={version}").json == read
    assert server.ask("GET", "/workflows/text_to_image?version=odd").code == "unknown_workflow"
    assert server.ask("GET", "/workflows/text_to_image/history").json == {"revisions": []}
    assert "'text_to_image'" in server.ask("GET", "/workflows/text_to_imag").json["detail"]
    operation = server.ask("GET", "/openapi.json").json["paths"]["/api/v1/workflows/text_to_image/run"]["post"]
    inputs = operation["requestBody"]["content"]["application/json"]["schema"]["allOf"][1]["properties"]["inputs"]
    assert inputs["properties"]["count"]["minimum"] == 1
    assert [each["name"] for each in operation["parameters"]] == ["wait"]


def test_every_shipped_workflow_is_sound_on_a_server(server: Server) -> None:
    shipped = [each["name"] for each in server.ask("GET", "/workflows").json["workflows"] if each["shipped"]]
    assert len(shipped) > 5
    answers = {name: server.ask("POST", "/check", {"saved": name}).json for name in shipped}
    assert {name: answer["problems"] for name, answer in answers.items() if not answer["sound"]} == {}


def test_saving_over_a_shipped_workflow_makes_an_own_one_that_goes_before(server: Server) -> None:
    shipped = server.ask("GET", "/workflows/gallery").json["saved"]
    refused = server.ask("DELETE", f"/workflows/gallery?version={shipped['version']}")
    assert (refused.status, refused.code) == (409, "shipped_workflow")
    late = server.ask("PUT", "/workflows/gallery", {"workflow": ADD, "version": "0" * 16})
    assert late.code == "version_conflict"
    own = save(server, "gallery", ADD, shipped["version"])
    assert (own["shipped"], own["title"]) == (False, "Adding")
    again = server.ask("PUT", "/workflows/gallery", {"workflow": ADD, "version": shipped["version"]})
    assert (again.code, again.json["current_version"]) == ("version_conflict", own["version"])
    listed = [each for each in server.ask("GET", "/workflows").json["workflows"] if each["name"] == "gallery"]
    assert listed == [own]
    reply = server.ask("POST", "/workflows/gallery/run?wait=25", {"inputs": {"words": "mine"}})
    assert reply.json["job"]["values"] == {"total": 3.0}
    assert server.ask("DELETE", f"/workflows/gallery?version={own['version']}").status == 200
    assert server.ask("GET", "/workflows/gallery").json["saved"] == shipped


def test_run_answers_at_the_end_if_asked_to(server: Server) -> None:
    save(server, "waited", one_node("t.Slow", seconds=0.2))
    ended = server.ask("POST", "/workflows/waited/run?wait=25", {}).json["job"]
    assert ended["state"] == "done"
    assert server.ask("POST", "/workflows/waited/run", {}).json["job"]["state"] == "queued"
    assert server.ask("POST", "/workflows/waited/run?wait=61", {}).code == "bad_parameter"
