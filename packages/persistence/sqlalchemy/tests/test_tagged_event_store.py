"""What the SQL event store does with tags and conditions beside what all event stores do."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Annotated, Any

import pytest
from sqlalchemy import ClauseElement, Executable, insert, text
from sqlalchemy.ext.compiler import compiles

from cqrs_ddd_advanced_core import DecisionRepository, StateView
from cqrs_ddd_core import (
    AggregateRoot,
    AppendCondition,
    AppendConditionError,
    Command,
    ConcurrencyError,
    ConditionUnsupportedError,
    DomainError,
    DomainEvent,
    EventQuery,
    HandlerRegistry,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    RetryMiddleware,
    RetryPolicy,
    Tag,
    repository,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_schema,
)
from cqrs_ddd_persistence_sqlalchemy.event_store import boundary
from cqrs_ddd_persistence_sqlalchemy.event_store.matching import matching_query

from .conftest import Sql, opened
from .killed_deciding import SEATS, seat_taken
from .statements import watched

PATIENCE = 30
CHILD = Path(__file__).with_name("killed_deciding.py")
OF_A, OF_B = (EventQuery.of(tags=[f"student:{name}"]) for name in "ab")


class _Explained(Executable, ClauseElement):
    """Asks how a statement would be run."""

    inherit_cache = False

    def __init__(self, statement: Any) -> None:
        self.statement = statement


@compiles(_Explained)
def _explain(element: _Explained, compiler: Any, **options: Any) -> str:
    ask = "EXPLAIN" if compiler.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    return f"{ask} {compiler.process(element.statement, **options)}"


async def made(sql: Sql, **options: Any) -> SQLAlchemyEventStore:
    store = SQLAlchemyEventStore(sql.session_factory, **options)
    await create_schema(sql.engine, store)
    return store


async def found(store: SQLAlchemyEventStore, query: EventQuery = SEATS) -> list[str]:
    return [event.correlation_id or "" async for event in store.read_matching(query)]


# -- what it costs -------------------------------------------------------------------------------


async def test_a_conditional_append_is_three_statements_in_a_transaction(
    postgres_sql: Sql,
) -> None:
    store = await made(postgres_sql)
    await store.append_many([seat_taken("a")], condition=AppendCondition(SEATS))
    with watched(postgres_sql.engine) as seen:
        await store.append_many([seat_taken("b")], condition=AppendCondition(SEATS, 1))
    assert (seen.kinds, seen.commits) == (["SELECT", "SELECT", "WITH"], 1)
    assert "pg_advisory_xact_lock" in seen.statements[0]
    assert "count" in seen.statements[1]


async def test_an_append_with_tags_and_no_condition_is_two(postgres_sql: Sql) -> None:
    store = await made(postgres_sql)
    await store.append_many([seat_taken("a")])
    with watched(postgres_sql.engine) as seen:
        await store.append_many([seat_taken("b")])
    assert seen.kinds == ["SELECT", "WITH"]


@pytest.mark.parametrize("sql", ["sqlite_url", "postgres_url"], indirect=True)
async def test_a_query_looks_at_the_index_alone(sql: Sql) -> None:
    store = await made(sql)
    courses, students = 200, 5_000
    rows = [
        {
            "tenant_id": "",
            "tag": tag,
            "event_type": "SeatTaken",
            "append_id": number,
            "place": 0,
        }
        for number in range(1, 20_001)
        for tag in ("", f"course:{number % courses}", f"student:{number % students}")
    ]
    async with sql.engine.begin() as connection:
        await connection.execute(insert(store.tables.tags), rows)
        await connection.execute(text("ANALYZE"))
        query = SEATS | EventQuery.of(tags=["student:7", "course:7"]) | EventQuery.of(tags=["x"])
        statement, given = matching_query(store.tables, query, (0, -1), 100)
        plan = (await connection.execute(_Explained(statement), given)).all()
    steps = "\n".join(str(row[-1]) for row in plan)
    assert "Seq Scan on events_tags" not in steps, steps
    assert "SCAN i" not in steps, steps
    assert ("events_tags_pkey" if sql.is_postgres else "USING PRIMARY KEY") in steps, steps


async def test_matching_events_are_read_in_batches_each_once(sql: Sql) -> None:
    store = await made(sql, batch_size=3)
    names = [f"s-{number}" for number in range(10)]
    await store.append_many([seat_taken(name) for name in names[:7]])
    for name in names[7:]:
        await store.append_many([seat_taken(name)])
    assert await found(store) == names
    assert await found(store, SEATS | EventQuery.of(types=["SeatTaken"])) == names


# -- turns ---------------------------------------------------------------------------------------


async def waits_for_a_lock(sql: Sql) -> bool:
    query = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
        " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
    )
    async with sql.engine.connect() as connection:
        return bool((await connection.execute(text(query))).scalar_one())


async def until_it_waits(sql: Sql, waiting: asyncio.Task[None]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await waits_for_a_lock(sql):
            assert not waiting.done()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("commits", [True, False])
async def test_a_check_waits_for_who_has_appended_and_sees_whether_it_commits(
    postgres_sql: Sql, commits: bool
) -> None:
    sql = postgres_sql
    store = await made(sql)
    uow = SQLAlchemyUnitOfWork(sql.session_factory)
    await store.append_many([seat_taken("first")], uow)
    await uow.flush()
    waiting = asyncio.create_task(
        store.append_many([seat_taken("second")], condition=AppendCondition(SEATS))
    )
    await until_it_waits(sql, waiting)
    await (uow.commit() if commits else uow.rollback())
    await uow.close()
    if commits:
        with pytest.raises(AppendConditionError):
            await waiting
    else:
        await waiting
    assert await found(store) == ["first" if commits else "second"]


async def test_an_append_waits_for_who_has_checked(postgres_sql: Sql) -> None:
    sql = postgres_sql
    store = await made(sql)
    uow = SQLAlchemyUnitOfWork(sql.session_factory)
    other = EventQuery.of(types=["SeatTaken"])
    await store.append_many([seat_taken("first")], uow, condition=AppendCondition(other))
    await uow.flush()
    waiting = asyncio.create_task(store.append_many([seat_taken("second")]))
    await until_it_waits(sql, waiting)
    await uow.commit()
    await uow.close()
    await waiting
    assert [event.correlation_id async for event in store.read_all()] == ["first", "second"]


async def test_those_who_have_nothing_to_do_with_each_other_do_not_wait(postgres_sql: Sql) -> None:
    store = await made(postgres_sql)
    uow = SQLAlchemyUnitOfWork(postgres_sql.session_factory)
    await store.append_many([seat_taken("a")], uow, condition=AppendCondition(OF_A))
    await uow.flush()
    async with asyncio.timeout(PATIENCE):
        await store.append_many([seat_taken("b")], condition=AppendCondition(OF_B))
    await uow.commit()
    await uow.close()
    assert sorted(await found(store)) == ["a", "b"]


async def test_an_append_of_very_many_events_takes_one_lock_and_the_same_turns(
    postgres_sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boundary, "MOST_LOCKS", 20)
    sql = postgres_sql
    store = await made(sql)
    uow = SQLAlchemyUnitOfWork(sql.session_factory)
    await store.append_many([seat_taken(str(number)) for number in range(50)], uow)
    await uow.flush()
    own = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    locks = (await uow.execute(text(own))).scalar_one()
    assert locks == 1
    waiting = asyncio.create_task(
        store.append_many([seat_taken("late")], condition=AppendCondition(SEATS))
    )
    await until_it_waits(sql, waiting)
    await uow.commit()
    await uow.close()
    with pytest.raises(AppendConditionError):
        await waiting


async def test_a_deadlock_is_a_lost_race(postgres_sql: Sql) -> None:
    """Each holds what the other one wants next: the server ends one of them."""
    sql = postgres_sql
    store = await made(sql)
    both_hold = asyncio.Barrier(2)

    async def decide(first: EventQuery, second: EventQuery, name: str) -> bool:
        try:
            async with SQLAlchemyUnitOfWork(sql.session_factory) as uow:
                await uow.execute(text("SET LOCAL deadlock_timeout = 50"))
                await store.append_many([], uow, condition=AppendCondition(first))
                await uow.flush()
                await both_hold.wait()
                await store.append_many([seat_taken(name)], uow, condition=AppendCondition(second))
        except ConcurrencyError:
            return False
        return True

    outcomes = await asyncio.gather(decide(OF_A, OF_B, "x"), decide(OF_B, OF_A, "y"))
    assert sorted(outcomes) == [False, True]
    assert len(await found(store)) == 1


# -- where it cannot be promised -----------------------------------------------------------------


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_transaction_on_an_old_snapshot_checks_no_condition(
    postgres_url: str, level: str
) -> None:
    async with opened(postgres_url, isolation_level=level) as sql:
        store = await made(sql)
        await store.append_many([seat_taken("a")])
        with pytest.raises(ConditionUnsupportedError, match=level):
            await store.append_many([seat_taken("b")], condition=AppendCondition(SEATS, 1))
        assert await found(store) == ["a"]


async def test_mariadb_has_tags_and_queries_but_no_conditions(mariadb_sql: Sql) -> None:
    store = await made(mariadb_sql)
    await store.append_many([seat_taken("a")])
    with pytest.raises(ConditionUnsupportedError, match="PostgreSQL or SQLite"):
        await store.append_many([seat_taken("b")], condition=AppendCondition(SEATS, 1))
    assert await found(store) == ["a"]
    (event,) = [event async for event in store.read_all()]
    assert event.tags == ("course:c-1", "student:a")


# -- killed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", ["sqlite_url", "postgres_url"], indirect=True)
async def test_a_killed_process_leaves_nothing_locked_and_nothing_half(sql: Sql) -> None:
    store = await made(sql)
    seed = int(os.environ.get("CQRS_TEST_SEED", str(random.randrange(10**6))))
    print(f"CQRS_TEST_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    chance = random.Random(seed)
    for number in range(2):
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), sql.url, f"r-{number}", stdout=PIPE
        )
        assert child.stdout is not None
        for _ in range(2 * chance.randrange(5) + 1):  # an odd one: it holds a transaction open
            assert await asyncio.wait_for(child.stdout.readline(), 60), "It ended by itself."
        child.kill()
        told = (await child.stdout.read()).decode()
        await child.wait()
        async with asyncio.timeout(PATIENCE):
            version = await settled(store)
            await store.append_many(
                [seat_taken("after")], condition=AppendCondition(SEATS, version)
            )
        acknowledged = told.count("committed")
        assert (await found(store)).count(f"r-{number}") >= acknowledged
    feed = [event async for event in store.read_all()]
    assert [event.correlation_id for event in feed] == await found(store)


async def settled(store: SQLAlchemyEventStore) -> int:
    """Return how many seats there are once the server has ended what the dead process had open."""
    while True:
        version = len(await found(store))
        try:
            await store.append_many([], condition=AppendCondition(SEATS, version))
        except AppendConditionError:
            continue
        return version


# -- the whole of it -----------------------------------------------------------------------------

COURSE, STUDENT = Tag("course"), Tag("student")


class Subscribed(DomainEvent):
    course_id: Annotated[str, COURSE]
    student_id: Annotated[str, STUDENT]


class Student(AggregateRoot[str]):
    courses: int = 0


class CampusUnitOfWork(SQLAlchemyUnitOfWork):
    students = repository(Student)


class Subscribe(Command[None]):
    course_id: str
    student_id: str


class FullyBooked(DomainError):  # noqa: N818 - says what is the matter
    pass


@pytest.mark.parametrize("sql", ["sqlite_url", "postgres_url"], indirect=True)
async def test_sixteen_students_and_five_seats(sql: Sql) -> None:
    store, outbox = (
        SQLAlchemyEventStore(sql.session_factory),
        SQLAlchemyOutboxStorage(sql.session_factory),
    )
    await create_schema(sql.engine, store, outbox, CampusUnitOfWork)
    decisions = DecisionRepository(event_store=store, events=[Subscribed])

    async def subscribe(command: Subscribe, uow: CampusUnitOfWork) -> None:
        query = EventQuery.of(types=[Subscribed], tags=[COURSE(command.course_id)])
        decision = await decisions.load(StateView(query, 0, lambda seats, _: seats + 1))
        if decision.state >= 5:
            raise FullyBooked
        decision.record(Subscribed(course_id=command.course_id, student_id=command.student_id))
        await uow.students.add(Student(id=command.student_id, courses=1))

    registry, middlewares = HandlerRegistry(), MiddlewareRegistry()
    registry.register_command_handler(Subscribe, subscribe)
    middlewares.register(RetryMiddleware(RetryPolicy(max_attempts=40)))
    middlewares.register(OutboxMiddleware(outbox))
    mediator = Mediator(
        registry,
        lambda: CampusUnitOfWork(sql.session_factory),
        middleware_registry=middlewares,
    )

    async def attempt(number: int) -> bool:
        try:
            await mediator.send(Subscribe(course_id="c-1", student_id=f"s-{number}"))
        except FullyBooked:
            return False
        return True

    outcomes = await asyncio.gather(*(attempt(number) for number in range(16)))
    seated = {f"s-{number}" for number, seated in enumerate(outcomes) if seated}
    assert len(seated) == 5
    told = [event.tags[1].removeprefix("student:") async for event in store.read_all()]
    async with CampusUnitOfWork(sql.session_factory) as uow:
        messages = (await uow.execute(text("SELECT count(*) FROM outbox"))).scalar_one()
        stored = {student.id for student in await uow.students.list_all()}
    assert set(told) == stored == seated
    assert (len(told), messages) == (5, 5)
