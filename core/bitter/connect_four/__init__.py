"""Search and learning in Connect-Four on boards small enough to be solved: `lab run bitter-games`.

In reading order:

board      the rules, on bitboards
solved     all positions, and what each is worth under perfect play
compiled   values of positions, alpha-beta, rollouts with UCT, learning by self-play; the rest loads Numba through it
players    who plays: what each knows, and what it has learnt
regret     what a player's moves lose against perfect play
exchange   how much search replaces how much learning
drawn      a position with what is thought of each move
params     the parameters
preload    what the server of trial processes loads
trial      one player at one number of games and of nodes
"""
