"""What a loss asks for where the truth is known: by how much its own minimiser misses it, and which way it pulls.

* `names`: of the losses.
* `least`: the student at which each loss is least, in closed form, and the loss itself from the library.
* `one_vocabulary`: at the truth, and at a student that knows how often each token comes.
* `two_vocabularies`: a teacher of pieces of words and a perfect student of characters.
* `texts`: a language, a text of it, and the true distributions along it.
"""
