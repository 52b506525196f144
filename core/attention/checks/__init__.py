"""Whether an attention is right: `battery.check` judges a function, a backend's or a user's.

* `shapes`: the small cases.
* `variations`: a case once more, in float64 or in part.
* `rounding`: the error that rounding must be allowed.
* `usual_mistakes`: a guess at what is wrong with a wrong function.
* `battery`: all of these, then the point's own input, against standard attention in float64.
"""
