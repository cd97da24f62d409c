"""Trade the break of the session's first minutes, with a stop at the range's other end; flat by the close."""

from barray import Strategy, parameter


class OpeningRange(Strategy):
    """The first `minutes` set the range; a close outside it is followed, once a session, to the target or the stop."""

    minutes: int = parameter(30, low=5, high=180)
    reward: float = parameter(2.0, low=0.1)  # target, in ranges beyond the entry
    risk: float = parameter(1000.0, low=1.0)  # currency lost where the stop fills at its price
    last_entry: int = parameter(120, low=1)  # minutes before the close after which nothing is begun

    def on_session(self, ctx):
        self.high, self.low, self.done = float("-inf"), float("inf"), False

    def on_bar(self, ctx):
        if ctx.minute <= self.minutes:
            self.high, self.low = max(self.high, ctx.high[-1]), min(self.low, ctx.low[-1])
            return
        width, price = self.high - self.low, ctx.close[-1]
        if self.done or width <= 0 or ctx.minutes_to_close < self.last_entry:
            return
        shares = self.risk // width
        if shares and price > self.high:
            ctx.buy(shares, stop_loss=self.low, take_profit=price + self.reward * width, tag="up")
        elif shares and price < self.low and price > self.reward * width:
            ctx.sell(shares, stop_loss=self.high, take_profit=price - self.reward * width, tag="down")
        else:
            return
        self.done = True
