"""A small domain: an account as a class, a course as a decider."""

from dataclasses import dataclass, replace
from typing import Any

from cqrs_ddd_advanced_core import Decider, EventSourcedAggregate
from cqrs_ddd_core import DomainError, DomainEvent


class Opened(DomainEvent):
    event_type = "bank.opened"
    owner: str


class Deposited(DomainEvent):
    event_type = "bank.deposited"
    version: int = 3
    amount: int
    currency: str


class Account(EventSourcedAggregate[str]):
    owner: str
    balance: int = 0

    @classmethod
    def open(cls, account_id: str, owner: str) -> "Account":
        account = cls.model_construct(id=account_id)
        account.record(Opened(owner=owner))
        return account

    def deposit(self, amount: int) -> None:
        self.record(Deposited(amount=amount, currency="EUR"))

    def apply_Opened(self, event: Opened) -> None:  # noqa: N802 - the event's name
        self.owner = event.owner

    def apply_deposited(self, event: Deposited) -> None:
        self.balance += event.amount


@dataclass(frozen=True)
class SeatsSet:
    seats: int


@dataclass(frozen=True)
class Enrolled:
    student: str


@dataclass(frozen=True)
class Course:
    seats: int = 0
    students: tuple[str, ...] = ()


class CourseFull(DomainError):  # noqa: N818
    pass


def decide(command: Any, course: Course) -> list[Any]:
    if isinstance(command, int):
        return [SeatsSet(command)]
    if command in course.students:
        return []
    if len(course.students) >= course.seats:
        raise CourseFull
    return [Enrolled(command)]


def evolve(course: Course, event: Any) -> Course:
    if isinstance(event, SeatsSet):
        return replace(course, seats=event.seats)
    return replace(course, students=(*course.students, event.student))


COURSES = Decider(
    decide=decide, evolve=evolve, initial_state=Course, name="Course", events=[SeatsSet, Enrolled]
)
