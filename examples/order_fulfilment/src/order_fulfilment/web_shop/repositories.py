"""What handlers of the web shop work with, whatever the store."""

from cqrs_ddd_core import UnitOfWork, repository
from order_fulfilment.web_shop.purchase import Article, Purchase
from order_fulfilment.web_shop.report import DailyReport


class WebShopRepositories(UnitOfWork):
    """The declarations that the unit of work of every store shares."""

    articles = repository(Article)
    purchases = repository(Purchase)
    daily_reports = repository(DailyReport)
