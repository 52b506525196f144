"""Don't teach, incentivise: what general pressure makes of a model, and when. `lab run incentivize`, `incentivize-skills`.

* `diversity/`: permutations in context; from how many training tasks on new ones are solved.
* `skills/`: parities of different frequency; when each is learnt, by which size, and what teaching their parts adds.
"""
