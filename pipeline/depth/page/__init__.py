"""The page of `bokehflow refocus --page`: click what should be sharp, drag the aperture, save at full size.

`photos` holds the photos that are open, and refocuses them at any size; `app` serves them. The picture on the screen comes
from the renderer that saves, on a photo made smaller, so that both agree.
"""
