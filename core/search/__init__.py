"""Search over steps: several partial answers, rated as they grow, of which the better ones are continued.

prefixes          partial answers, the two functions a search is given (continue, rate), and the tokens they take
sampling          whole answers, each on its own
beam              of n candidates the n/M best, each continued M times; with lookahead
rebase            continuations shared out by the softmax of the scores
mcts              Monte Carlo tree search
choice            which whole answer is given: by vote, or by rating
strategy          one of the searches with one of the choices, at a budget
overoptimisation  d(α − βd): how far a rating can be trusted
exact             `lab run search-exact`: an ideal sampler, and a rating that is wrong by two dials
model             `lab run search`: a language model, and a head on it that has learnt to rate steps
"""
