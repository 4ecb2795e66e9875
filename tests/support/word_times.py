"""When each word of the recorded sample is spoken, marked by eye in its spectrogram (5 ms a pixel column or finer).

A word begins at its first sound, or where the closure before a plosive begins (after a pause: at its burst), and ends
where the next word begins; the last one of a sentence ends with its voice or its friction. Seconds.
"""

from typing import Final

# (words, when each begins, when the last one ends)
SENTENCES: Final = (
    (
        "the morning was quiet and the river moved slowly under the old bridge",
        (0.18, 0.36, 0.79, 1.04, 1.40, 1.71, 1.86, 2.14, 2.52, 3.18, 3.53, 3.69, 4.07),
        4.46,
    ),
    (
        "people from all over the country came to see the new house on the hill",
        (5.46, 5.79, 6.16, 6.54, 6.80, 6.92, 7.42, 7.79, 7.94, 8.27, 8.37, 8.64, 8.99, 9.14, 9.24),
        9.53,
    ),
    (
        "they stayed for dinner and told long stories about their travels",
        (10.51, 10.76, 11.14, 11.41, 11.71, 11.97, 12.35, 12.70, 13.33, 13.74, 13.91),
        14.64,
    ),
    (
        "she opened the window and looked out at the garden",
        (15.56, 15.89, 16.31, 16.43, 16.85, 17.14, 17.51, 17.75, 17.94, 18.09),
        18.55,
    ),
)
