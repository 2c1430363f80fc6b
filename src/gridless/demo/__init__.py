"""A page to try the shipped models in a browser: `gridless demo`.

    photos     a picture in; a window of its field beside bicubic, and the enlarged file
    readings   a few numbers at places in; maps of mean and spread, and the answer on a template
    insides    what a place reads, position tokens, spectra
    limits     how much a visitor may ask           shelf   what is kept, bounded by count and bytes
    *_tab      what stands on the page              look    colours, fonts           serve   the server

The first four know arrays and files and nothing of the page.
"""
