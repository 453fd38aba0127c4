"""Course subscriptions, the example of the specification of dynamic consistency boundaries."""

from dataclasses import dataclass
from typing import Annotated

from cqrs_ddd_advanced_core import DecisionModel, StateView, combine_views
from cqrs_ddd_core import Command, DomainError, DomainEvent, EventQuery, Tag

COURSE, STUDENT = Tag("course"), Tag("student")
MOST_COURSES = 5


class CourseDefined(DomainEvent):
    course_id: Annotated[str, COURSE]
    capacity: int


class CapacityChanged(DomainEvent):
    course_id: Annotated[str, COURSE]
    capacity: int


class StudentSubscribed(DomainEvent):
    course_id: Annotated[str, COURSE]
    student_id: Annotated[str, STUDENT]


EVENTS = [CourseDefined, CapacityChanged, StudentSubscribed]


class EnrolmentError(DomainError): ...


class Define(Command[None]):
    course_id: str
    capacity: int


class ChangeCapacity(Command[None]):
    course_id: str
    capacity: int


class Subscribe(Command[None]):
    course_id: str
    student_id: str


def capacity_of(course_id: str) -> StateView[int | None]:
    """None where the course is not defined."""
    query = EventQuery.of(types=[CourseDefined, CapacityChanged], tags=[COURSE(course_id)])

    def evolve(_: int | None, event: CourseDefined | CapacityChanged) -> int:
        return event.capacity

    return StateView(query, None, evolve)


def subscriptions(*tags: str) -> StateView[int]:
    query = EventQuery.of(types=[StudentSubscribed], tags=tags)
    return StateView(query, 0, lambda number, _: number + 1)


@dataclass(frozen=True)
class Seat:
    capacity: int | None
    students: int
    courses: int
    already: int


def seat(command: Subscribe) -> StateView[Seat]:
    course, student = COURSE(command.course_id), STUDENT(command.student_id)
    return combine_views(
        Seat,
        capacity_of(command.course_id),
        subscriptions(course),
        subscriptions(student),
        subscriptions(student, course),
    )


def define(command: Define, capacity: int | None) -> list[CourseDefined]:
    if capacity is not None:
        raise EnrolmentError(f"Course {command.course_id} exists already.")
    return [CourseDefined(course_id=command.course_id, capacity=command.capacity)]


def change_capacity(command: ChangeCapacity, capacity: int | None) -> list[CapacityChanged]:
    if capacity is None:
        raise EnrolmentError(f"Course {command.course_id} does not exist.")
    if capacity == command.capacity:
        raise EnrolmentError(f"Course {command.course_id} has {capacity} seats already.")
    return [CapacityChanged(course_id=command.course_id, capacity=command.capacity)]


def subscribe(command: Subscribe, seat: Seat) -> list[StudentSubscribed]:
    if seat.capacity is None:
        raise EnrolmentError(f"Course {command.course_id} does not exist.")
    if seat.students >= seat.capacity:
        raise EnrolmentError(f"Course {command.course_id} is fully booked.")
    if seat.already:
        raise EnrolmentError(f"{command.student_id} has a seat in {command.course_id} already.")
    if seat.courses >= MOST_COURSES:
        raise EnrolmentError(f"{command.student_id} has {MOST_COURSES} courses already.")
    return [StudentSubscribed(course_id=command.course_id, student_id=command.student_id)]


DEFINE = DecisionModel(view=lambda c: capacity_of(c.course_id), decide=define)
CHANGE_CAPACITY = DecisionModel(view=lambda c: capacity_of(c.course_id), decide=change_capacity)
SUBSCRIBE = DecisionModel(view=seat, decide=subscribe)
