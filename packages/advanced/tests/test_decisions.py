"""Decisions over events of several aggregates, in memory."""
# ruff: noqa: PT012 - a unit of work is one step

import asyncio
from typing import Annotated, Any

import pytest

from cqrs_ddd_advanced_core import (
    DecisionRepository,
    EventSourcingError,
    EventUnreadableError,
    EventUpcaster,
    StateView,
    UpcasterRegistry,
)
from cqrs_ddd_core import (
    AppendConditionError,
    Command,
    DomainEvent,
    EventPhase,
    EventQuery,
    EventStorePersistenceMiddleware,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryEventStore,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    Query,
    ReadOnlyUnitOfWorkError,
    RetryMiddleware,
    StreamId,
    UntaggedEventError,
)

from .enrolment import (
    CHANGE_CAPACITY,
    COURSE,
    DEFINE,
    EVENTS,
    MOST_COURSES,
    SUBSCRIBE,
    CapacityChanged,
    ChangeCapacity,
    CourseDefined,
    Define,
    EnrolmentError,
    StudentSubscribed,
    Subscribe,
    capacity_of,
    subscriptions,
)


class Enrolment:
    """The application: a mediator on a store in memory."""

    def __init__(self, *middlewares: Any) -> None:
        self.store, self.database = InMemoryEventStore(), InMemoryDatabase()
        self.decisions = DecisionRepository(event_store=self.store, events=EVENTS)
        self.registry = HandlerRegistry()
        for command, model in (
            (Define, DEFINE),
            (ChangeCapacity, CHANGE_CAPACITY),
            (Subscribe, SUBSCRIBE),
        ):

            async def handle(message: Any, model: Any = model) -> None:
                await self.decisions.execute(model, message)

            self.registry.register_command_handler(command, handle)
        self.middlewares = MiddlewareRegistry()
        for middleware in middlewares:
            self.middlewares.register(middleware)
        self.mediator = Mediator(
            self.registry,
            lambda: InMemoryUnitOfWork(self.database),
            middleware_registry=self.middlewares,
        )

    async def told(self) -> list[str]:
        return [event.event_type async for event in self.store.read_all()]


@pytest.fixture
def enrolment() -> Enrolment:
    return Enrolment()


DEFINED = CourseDefined(course_id="c-1", capacity=2)


def subscribed(course: str, student: str) -> StudentSubscribed:
    return StudentSubscribed(course_id=course, student_id=student)


# -- the rules, as the specification's scenarios have them ---------------------------------------


@pytest.mark.parametrize(
    ("after", "command", "outcome"),
    [
        ([], Define(course_id="c-1", capacity=2), "CourseDefined"),
        ([DEFINED], Define(course_id="c-1", capacity=3), "exists already"),
        ([DEFINED], Define(course_id="c-2", capacity=3), "CourseDefined"),
        ([], ChangeCapacity(course_id="c-1", capacity=3), "does not exist"),
        ([DEFINED], ChangeCapacity(course_id="c-1", capacity=2), "has 2 seats already"),
        ([DEFINED], ChangeCapacity(course_id="c-1", capacity=3), "CapacityChanged"),
        ([], Subscribe(course_id="c-1", student_id="s-1"), "does not exist"),
        ([DEFINED], Subscribe(course_id="c-1", student_id="s-1"), "StudentSubscribed"),
        (
            [DEFINED, subscribed("c-1", "s-2"), subscribed("c-1", "s-3")],
            Subscribe(course_id="c-1", student_id="s-1"),
            "fully booked",
        ),
        (
            [
                DEFINED,
                subscribed("c-1", "s-2"),
                subscribed("c-1", "s-3"),
                CapacityChanged(course_id="c-1", capacity=3),
            ],
            Subscribe(course_id="c-1", student_id="s-1"),
            "StudentSubscribed",
        ),
        (
            [DEFINED, subscribed("c-1", "s-1")],
            Subscribe(course_id="c-1", student_id="s-1"),
            "has a seat in c-1 already",
        ),
        (
            [DEFINED, *(subscribed(f"c-{number}", "s-1") for number in range(2, 2 + MOST_COURSES))],
            Subscribe(course_id="c-1", student_id="s-1"),
            "has 5 courses already",
        ),
    ],
)
def test_the_rules_can_be_tried_without_a_store(
    after: list[DomainEvent], command: Command[None], outcome: str
) -> None:
    models: dict[type, Any] = {
        Define: DEFINE,
        ChangeCapacity: CHANGE_CAPACITY,
        Subscribe: SUBSCRIBE,
    }
    model = models[type(command)]
    if " " in outcome:
        with pytest.raises(EnrolmentError, match=outcome):
            model.decided(command, after=after)
    else:
        assert [type(event).__name__ for event in model.decided(command, after=after)] == [outcome]


# -- in a unit of work ---------------------------------------------------------------------------


async def test_commands_decide_on_what_earlier_ones_have_done(enrolment: Enrolment) -> None:
    send = enrolment.mediator.send
    await send(Define(course_id="c-1", capacity=1))
    await send(Subscribe(course_id="c-1", student_id="s-1"))
    with pytest.raises(EnrolmentError, match="fully booked"):
        await send(Subscribe(course_id="c-1", student_id="s-2"))
    await send(ChangeCapacity(course_id="c-1", capacity=2))
    await send(Subscribe(course_id="c-1", student_id="s-2"))
    assert await enrolment.told() == [
        "CourseDefined",
        "StudentSubscribed",
        "CapacityChanged",
        "StudentSubscribed",
    ]


async def test_events_reach_handlers_and_carry_the_ids_of_the_conversation(
    enrolment: Enrolment,
) -> None:
    inside, after = list[str](), list[str]()

    async def at_once(event: CourseDefined) -> None:
        inside.append(event.course_id)

    async def later(event: CourseDefined) -> None:
        after.append(event.course_id)

    enrolment.registry.register_event_handler(
        CourseDefined, at_once, phase=EventPhase.IN_TRANSACTION
    )
    enrolment.registry.register_event_handler(CourseDefined, later)
    command = Define(course_id="c-1", capacity=1)
    response = await enrolment.mediator.send(command)
    assert (inside, after) == (["c-1"], ["c-1"])
    (stored,) = [event async for event in enrolment.store.read_all()]
    assert stored.causation_id == command.command_id
    assert stored.correlation_id == response.correlation_id
    assert stored.tags == ("course:c-1",)
    assert stored.stream == StreamId("CourseDefined", stored.event_id)


async def test_a_command_that_lost_is_repeated_and_decides_anew() -> None:
    enrolment = Enrolment(RetryMiddleware())
    await enrolment.mediator.send(Define(course_id="c-1", capacity=2))
    both_have_read, tries = asyncio.Barrier(2), list[str]()

    async def handle(command: Subscribe) -> None:
        decision = await enrolment.decisions.load(SUBSCRIBE.view(command))
        tries.append(command.student_id)
        if len(tries) <= 2:
            await both_have_read.wait()
        decision.record(*(SUBSCRIBE.decide(command, decision.state) or ()))

    registry = HandlerRegistry()
    registry.register_command_handler(Subscribe, handle)
    mediator = Mediator(
        registry,
        lambda: InMemoryUnitOfWork(enrolment.database),
        middleware_registry=enrolment.middlewares,
    )
    await asyncio.gather(
        *(mediator.send(Subscribe(course_id="c-1", student_id=s)) for s in ("s-1", "s-2"))
    )
    assert len(tries) == 3
    decision = await enrolment.decisions.load(subscriptions(COURSE("c-1")))
    assert decision.state == 2


async def test_nothing_is_kept_of_a_command_that_fails(enrolment: Enrolment) -> None:
    class Fail(Command[None]): ...

    async def fail(_: Fail) -> None:
        await enrolment.decisions.execute(DEFINE, Define(course_id="c-1", capacity=1))
        raise EnrolmentError("on purpose")

    enrolment.registry.register_command_handler(Fail, fail)
    with pytest.raises(EnrolmentError):
        await enrolment.mediator.send(Fail())
    assert await enrolment.told() == []


async def test_decisions_of_one_unit_of_work_know_of_each_other(enrolment: Enrolment) -> None:
    execute = enrolment.decisions.execute
    async with InMemoryUnitOfWork(enrolment.database):
        await execute(DEFINE, Define(course_id="c-1", capacity=1))
        await execute(SUBSCRIBE, Subscribe(course_id="c-1", student_id="s-1"))
        with pytest.raises(EnrolmentError, match="fully booked"):
            await execute(SUBSCRIBE, Subscribe(course_id="c-1", student_id="s-2"))
    assert await enrolment.told() == ["CourseDefined", "StudentSubscribed"]


async def test_a_decision_goes_on_from_what_it_has_recorded(enrolment: Enrolment) -> None:
    async with InMemoryUnitOfWork(enrolment.database) as uow:
        decision = await enrolment.decisions.load(capacity_of("c-1"))
        decision.record(DEFINED)
        assert decision.state == 2
        await uow.flush()
        decision.record(CapacityChanged(course_id="c-1", capacity=5))
        assert decision.state == 5
    assert await enrolment.told() == ["CourseDefined", "CapacityChanged"]


async def test_a_savepoint_takes_back_what_was_decided_in_it(enrolment: Enrolment) -> None:
    async with InMemoryUnitOfWork(enrolment.database) as uow:
        decision = await enrolment.decisions.load(capacity_of("c-1"))
        decision.record(DEFINED)
        with pytest.raises(EnrolmentError):
            async with uow.savepoint():
                decision.record(CapacityChanged(course_id="c-1", capacity=5))
                await uow.flush()
                raise EnrolmentError("on purpose")
        assert decision.state == 2
        decision.record(CapacityChanged(course_id="c-1", capacity=6))
    assert await enrolment.told() == ["CourseDefined", "CapacityChanged"]
    assert (await enrolment.decisions.load(capacity_of("c-1"))).state == 6


async def test_a_stale_decision_is_refused_without_a_unit_of_work_too(
    enrolment: Enrolment,
) -> None:
    decisions = enrolment.decisions
    first, second = [await decisions.load(capacity_of("c-1")) for _ in range(2)]
    first.record(DEFINED)
    await decisions.save(first)
    second.record(CourseDefined(course_id="c-1", capacity=9))
    with pytest.raises(AppendConditionError):
        await decisions.save(second)
    assert await enrolment.told() == ["CourseDefined"]


async def test_the_sink_of_all_events_leaves_out_what_decisions_append() -> None:
    enrolment = Enrolment()
    enrolment.middlewares.register(
        EventStorePersistenceMiddleware(enrolment.store, selects=lambda e: type(e) not in EVENTS)
    )
    mediator = Mediator(
        enrolment.registry,
        lambda: InMemoryUnitOfWork(enrolment.database),
        middleware_registry=enrolment.middlewares,
    )
    await mediator.send(Define(course_id="c-1", capacity=1))
    assert await enrolment.told() == ["CourseDefined"]


async def test_an_event_that_names_an_aggregate_goes_into_its_stream(enrolment: Enrolment) -> None:
    decisions = enrolment.decisions
    for capacity in (1, 2):
        decision = await decisions.load(capacity_of("c-1"))
        decision.record(
            CapacityChanged(
                aggregate_id="c-1", aggregate_type="Course", course_id="c-1", capacity=capacity
            )
        )
        await decisions.save(decision)
    assert await enrolment.store.stream_version(StreamId("Course", "c-1")) == 2


async def test_a_renamed_event_is_found_by_its_old_name_and_counts() -> None:
    class CourseOpened(DomainEvent):
        course_id: Annotated[str, COURSE]
        capacity: int

    class Renamed(EventUpcaster):
        supported_type = "CourseOpened"
        from_version, to_version = 1, 2
        new_type = "CourseDefined"

        def upcast(self, payload: dict[str, Any]) -> dict[str, Any]:
            return {**payload, "version": 2}

    old = DecisionRepository(event_store=(store := InMemoryEventStore()), events=[CourseOpened])
    decision = await old.load(capacity_of("c-1"))
    decision.record(CourseOpened(course_id="c-1", capacity=4))
    await old.save(decision)

    new = DecisionRepository(
        event_store=store, events=[CourseDefined], upcaster_registry=UpcasterRegistry(Renamed())
    )
    names = ["CourseOpened", CourseDefined]
    query = EventQuery.of(types=names, tags=[COURSE("c-1")])
    decision = await new.load(StateView(query, 0, lambda _, event: event.capacity))
    assert (decision.state, decision.known) == (4, 1)
    decision.record(CourseDefined(course_id="c-1", capacity=5))
    await new.save(decision)
    assert (await new.load(decision.view)).state == 5


# -- mistakes ------------------------------------------------------------------------------------


async def test_an_event_without_tags_is_refused_before_anything_is_recorded(
    enrolment: Enrolment,
) -> None:
    class Plain(DomainEvent): ...

    decision = await enrolment.decisions.load(capacity_of("c-1"))
    with pytest.raises(UntaggedEventError, match="Plain"):
        decision.record(DEFINED, Plain())
    assert decision.unsaved == []


async def test_a_query_reads_and_decides_nothing(enrolment: Enrolment) -> None:
    class SeatsOf(Query[int | None]):
        course_id: str

    async def seats(query: SeatsOf) -> int | None:
        decision = await enrolment.decisions.load(capacity_of(query.course_id))
        with pytest.raises(ReadOnlyUnitOfWorkError):
            decision.record(CapacityChanged(course_id=query.course_id, capacity=9))
        return decision.state

    enrolment.registry.register_query_handler(SeatsOf, seats)
    await enrolment.mediator.send(Define(course_id="c-1", capacity=3))
    assert (await enrolment.mediator.query(SeatsOf(course_id="c-1"))).result == 3


async def test_an_event_that_could_not_be_read_again_is_refused(enrolment: Enrolment) -> None:
    decisions = DecisionRepository(event_store=enrolment.store, events=[CourseDefined])
    decision = await decisions.load(capacity_of("c-1"))
    decision.record(CapacityChanged(course_id="c-1", capacity=1))
    with pytest.raises(EventSourcingError, match="events="):
        await decisions.save(decision)


async def test_an_event_of_an_unknown_class_is_not_skipped(enrolment: Enrolment) -> None:
    await enrolment.decisions.execute(DEFINE, Define(course_id="c-1", capacity=1))
    decisions = DecisionRepository(event_store=enrolment.store, events=[CapacityChanged])
    view = StateView(EventQuery.of(tags=[COURSE("c-1")]), 0, lambda number, _: number + 1)
    with pytest.raises(EventUnreadableError, match="CourseDefined"):
        await decisions.load(view)
